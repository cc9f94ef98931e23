. "${CASES:-../..}/lib.sh"
fleet
ng
c ug check http://127.0.0.1:8080/ -n 600 --header 'X-Real-IP: 192.0.2.7'
c ug check http://127.0.0.1:8080/ -n 600 --header 'X-Real-IP: 192.0.2.7' --expect header:X-Real-IP:preserved
c ug check http://127.0.0.1:8080/ -n 600 --header 'X-Real-IP: 192.0.2.7' --expect intact
