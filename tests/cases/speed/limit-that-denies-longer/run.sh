. "${CASES:-../..}/lib.sh"
fleet --ports 9001,9002; ha
c ug check http://127.0.0.1:8080/uuid -n 600
