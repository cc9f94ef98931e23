. "${CASES:-../..}/lib.sh"
fleet; ha
everywhere() { for port in 9001 9002 9003; do ug fault "$port" clear; ug fault "$port" "$@"; done >/dev/null; }
everywhere reset-stream CANCEL
c ug check h2c://127.0.0.1:8080 -n 60 -c 4
everywhere refuse-stream
c ug check grpc://127.0.0.1:8080 -n 60 -c 4
everywhere close
c ug check http://127.0.0.1:8081 -n 60 -c 4
c ug check http://127.0.0.1:8082 -n 60 -c 4
