. "${CASES:-../..}/lib.sh"
fleet; ca
A=(); for i in $(seq 20); do A+=(--header "X-H-$i: $i"); done
c ug check http://127.0.0.1:8080/ "${A[@]}" --expect intact -n 600
c ug check http://127.0.0.1:8080/ --header 'Cookie: a=1' --header 'Cookie: b=2' --header 'Accept: a' --header 'X-Forwarded-For: 9.9.9.9' --expect intact -n 600
