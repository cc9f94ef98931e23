. "${CASES:-../..}/lib.sh"
fleet; ng
ug fault 9002 half-message
c ug check grpc://127.0.0.1:8080 -n 300 -c 4 --no-experiments
for port in 9001 9002 9003; do ug fault "$port" clear; ug fault "$port" close-midway; done
c ug check grpc://127.0.0.1:8080 -n 60 -c 4
