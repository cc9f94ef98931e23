. "${CASES:-../..}/lib.sh"
fleet; ng
c ug check http://127.0.0.1:8080/a http://127.0.0.1:8080/b/x -n 600
c ug check http://127.0.0.1:8080/a http://127.0.0.1:8080/c/x -n 600 --format json
