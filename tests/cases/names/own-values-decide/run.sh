. "${CASES:-../..}/lib.sh"
fleet; ha
c ug check "http://127.0.0.1:8080/uuid?user=7" -n 2000 --format json
c ug check http://127.0.0.1:8081/uuid -n 2000 --header "X-Tenant: acme" --format json
c ug check http://127.0.0.1:8082/uuid -n 2000 --header "Host: shop.example" --format json
