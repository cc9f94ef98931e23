. "${CASES:-../..}/lib.sh"
fleet; ng; ha haproxy.cfg 8082
c ug check h2c://127.0.0.1:8080/uuid -n 300 --no-experiments
c ug check http://127.0.0.1:8081/uuid -n 300 --no-experiments
ug fault 9002 refuse-stream >/dev/null || broken "no fault"
c ug check http://127.0.0.1:8082/uuid -n 300 --no-experiments
