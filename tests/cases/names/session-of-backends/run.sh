. "${CASES:-../..}/lib.sh"
fleet; ha
c ug check http://127.0.0.1:8080/session -n 3000 --session header:X-Session
c ug check http://127.0.0.1:8080/session -n 3000 --session json:/session=X-Session --header 'Accept: application/json'
c ug check http://127.0.0.1:8081/session -n 3000 --session header:X-Session
c ug check http://127.0.0.1:8081/session -n 3000 --session cookie:session
c ug check http://127.0.0.1:8080/uuid -n 3000 --session header:X-Session
