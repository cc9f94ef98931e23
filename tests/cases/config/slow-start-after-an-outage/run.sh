. "${CASES:-../..}/lib.sh"
need haproxy
c ug rehearse haproxy haproxy.cfg http://shop.test:8080/ --outage kill:s1@1s,start@4s --duration 26s --expect s1=2,s2=1
