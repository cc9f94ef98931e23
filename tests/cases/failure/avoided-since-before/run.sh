. "${CASES:-../..}/lib.sh"
fleet --fault close:20%:9002
ng
for i in $(seq 40); do curl -s -o /dev/null -m 2 http://127.0.0.1:8080/; done
c ug check http://127.0.0.1:8080/ -n 600 --method PATCH --body-bytes 20
ug fault 9002 clear >/dev/null
c ug check http://127.0.0.1:8080/ -n 600
