. "${CASES:-../..}/lib.sh"
fleet; ha
c ug check http://127.0.0.1:8080/ -n 300 --expect header
c ug check http://127.0.0.1:8080/ -n 300 --key-header X-Shop-Tenant
c ug check http://127.0.0.1:8081/ -n 600 --expect source,1:2:3
