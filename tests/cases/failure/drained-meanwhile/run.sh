. "${CASES:-../..}/lib.sh"
sed -i "s#/tmp/ha.sock#$W/ha.sock#" haproxy.cfg
fleet; ha
drain() {  # when 9002 has had its share of the sample for a while
    served 1800
    python3 -c "import socket; s = socket.socket(socket.AF_UNIX); s.connect('$W/ha.sock'); s.sendall(b'set server b/b state drain\n'); s.recv(99)"
}
drain & PIDS+=($!)
c ug check http://127.0.0.1:8080/uuid --rate 800 -n 8000
