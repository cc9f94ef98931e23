. "${CASES:-../..}/lib.sh"
need haproxy
c ug rehearse haproxy haproxy.cfg http://shop.example:8080/ --no-experiments --rate 100 --duration 8s --outage kill:m1@1s,kill:m2@1s,start:m1@6s,start:m2@6s
