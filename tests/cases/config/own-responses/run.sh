. "${CASES:-../..}/lib.sh"
need nginx haproxy
PATH="/usr/sbin:$PATH" # its NGINX has sub_filter
c ug rehearse nginx nginx.conf http://shop.example:8080/text -n 300
c ug rehearse nginx nginx.conf http://shop.example:8080/ http://shop.example:8080/old -n 300
c ug rehearse haproxy haproxy.cfg http://shop.example:8080/ -n 300
c ug rehearse nginx nginx.conf http://shop.example:8080/text -n 300 --expect intact
