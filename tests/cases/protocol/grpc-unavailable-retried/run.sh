. "${CASES:-../..}/lib.sh"
fleet; ug fault 9002 trailers-only:UNAVAILABLE:10% >/dev/null
en
c ug check grpc://127.0.0.1:8080 -n 600 --no-experiments
c ug check grpc://127.0.0.1:8080 -n 600 --no-experiments --allow retried
