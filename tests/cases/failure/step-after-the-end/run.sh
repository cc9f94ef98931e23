. "${CASES:-../..}/lib.sh"
fleet; ng
c ug check http://127.0.0.1:8080/uuid --no-experiments --outage kill:9002@5s --duration 2s
