. "${CASES:-../..}/lib.sh"
fleet --ports 9001-9002; ng
c ug check http://127.0.0.1:8080/uuid -n 3000
# The next one in turn is the other program: the first response of a check is no backend's of the fleet.
until curl -s http://127.0.0.1:8080/uuid | grep -q 'Generator #9002'; do :; done
c ug check http://127.0.0.1:8080/uuid -n 3000 --expect round-robin
