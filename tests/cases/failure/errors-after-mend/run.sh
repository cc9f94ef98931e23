. "${CASES:-../..}/lib.sh"
fleet; ng
c ug check http://127.0.0.1:8080/ --outage kill@2s,start@4s --expect errors-end:3s --duration 16s --rate 200
