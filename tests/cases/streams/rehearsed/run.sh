. "${CASES:-../..}/lib.sh"
need nginx
c ug rehearse nginx nginx.conf http://shop.example/ --stream -c 6 --duration 1s --format json
c ug rehearse nginx nginx.conf ws://shop.example/ws -c 6 --duration 1s --format json
