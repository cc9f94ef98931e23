. "${CASES:-../..}/lib.sh"
need nginx
c python3 forbid.py ug rehearse nginx nginx.conf http://shop.example:8080/
c python3 forbid.py ug rehearse nginx nginx.conf http://shop.example:8080/ --map 10.20.0.11:8080=9001 --map 10.20.0.12:8080=9002 -n 300 --no-experiments
