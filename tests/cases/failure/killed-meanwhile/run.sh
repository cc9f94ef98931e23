. "${CASES:-../..}/lib.sh"
fleet; ng
crash() {  # when 9002 has had its share of the sample for a while
    served 600
    ug fleet kill 9002; sleep 1; [ "$1" = back ] && ug fleet start 9002
}
crash back >/dev/null 2>&1 & PIDS+=($!)
c ug check http://127.0.0.1:8080/uuid --rate 400 -n 4000 --experiments-for 4s
stop; fleet; ng
crash >/dev/null 2>&1 & PIDS+=($!)
c ug check http://127.0.0.1:8080/uuid --rate 400 -n 4000 --experiments-for 4s
