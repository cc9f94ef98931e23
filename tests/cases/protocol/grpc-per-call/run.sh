. "${CASES:-../..}/lib.sh"
fleet; ng
c ug check grpc://127.0.0.1:8081 -n 1000 -c 4 --streams 8 --experiments-for 3s --expect per:call
c ug check grpc://127.0.0.1:8080 -n 1000 -c 4 --streams 8 --experiments-for 3s --expect per:call
c ug check grpc://127.0.0.1:8082 -n 500 -c 4 --streams 8 --no-experiments
