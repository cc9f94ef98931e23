. "${CASES:-../..}/lib.sh"
need nginx
fleet --backends stable-0=127.0.0.1:9001,stable-1=127.0.0.1:9002,stable-2=127.0.0.1:9003,canary-0=127.0.0.1:9004,canary-1=127.0.0.1:9005
ng right.conf 8080
c ug check http://127.0.0.1:8080/ --from route.yaml --tolerance 5 --format json
ng wrong.conf 8081
c ug check http://127.0.0.1:8081/ --from route.yaml --tolerance 5 --format json
