. "${CASES:-../..}/lib.sh"
fleet; ng
ug fault 9002 latency 1s >/dev/null
c ug check grpc://127.0.0.1:8080 -n 60 -c 4 --timeout 300ms --no-experiments
c ug check http://127.0.0.1:8082/uuid -n 60 -c 4 --timeout 300ms --no-experiments
