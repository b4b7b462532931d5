# A database and WordPress, linked to it, below Docker. Sourced by hack/engines for hack/demo, which makes the images.
# shellcheck shell=bash disable=SC2016,SC2034,SC2153,SC2154

[ -n "${DATABASE:-}${WORDPRESS:-}" ] || { skip all "hack/demo makes its images" && finish; }
. hack/engine/docker/daemon.sh
configure_docker true
# Of the start of a database on a busy machine.
PATIENCE=180
site=http://127.0.0.1:8080

# On new data or on what there is.
database() { docker run -d --name db -p 3306:3306 --memory 1g -v data:/var/lib/mysql local.test/database; }
wordpress() { docker run -d --name site --link db:mysql -p 8080:80 local.test/wordpress; }
asked() { docker exec db mariadb --batch --skip-column-names --execute "$1"; } # SQL
answers() { asked 'select 1'; }
page() { curl --silent --show-error --fail --location --max-time 60 "$@"; }
# All is read, or curl fails.
shows() { page "$site/" | grep "$1" >/dev/null; } # TEXT
# What the server says first has its version.
greets() { timeout 5 head -c 40 </dev/tcp/127.0.0.1/3306 | grep -a MariaDB >/dev/null; }
# The form of its first page.
install_site() {
  page --data 'weblog_title=A+demonstration&user_name=admin&admin_password=of-coracle-1&admin_password2=of-coracle-1&pw_weak=1&admin_email=admin%40local.test&blog_public=0&language=' \
    "$site/wp-admin/install.php?step=2" | grep -o 'Success!'
}
both_ended() { [ "$(docker ps -q)" = "" ] && [ "$(inspect db '{{.State.ExitCode}}')$(inspect site '{{.State.ExitCode}}')" = 00 ]; }

all_checks() { # PATH SHIM
  start_docker "$1"
  check "the database's image" '0 *' docker load -i "$work/database.tar"
  check "that of WordPress" '0 *' docker load -i "$work/wordpress.tar"
  check "a database" '0 *' database
  check "which shim" "0 $2" shim_of db
  check "it answers" '0 *' wait_for answers
  check "a database for WordPress" '0 ' asked "create database wordpress; create user wordpress identified by 'wordpress';
    grant all on wordpress.* to wordpress"
  check "which can be asked for on its published port" '0 ' wait_for greets
  check "WordPress, linked to it" '0 *' wordpress
  check "asks to be installed" '0 ' wait_for page "$site/wp-admin/install.php"
  check "is installed" '0 Success!' install_site
  check "serves its page" '0 ' wait_for shows 'A demonstration'
  check "something new in the database" '0 ' asked "update wordpress.wp_posts set post_title = 'kept in the database' where id = 1"
  check "is on the page" '0 ' wait_for shows 'kept in the database'
  check "stop both" $'0 site\ndb' docker stop -t 60 site db
  check "which ended by themselves" '0 ' both_ended
  check "start both" $'0 db\nsite' docker start db site
  check "the page is there again" '0 ' wait_for shows 'kept in the database'
  check "rm of both" $'0 site\ndb' docker rm -f site db
  check "another database of the same data" '0 *' database
  check "another WordPress" '0 *' wordpress
  check "serves what was there" '0 ' wait_for shows 'kept in the database'
  check "rm of these" $'0 site\ndb' docker rm -f site db
  check "rm of the data" '0 data' docker volume rm data
  check "nothing left" '0 ' docker ps -a -q
  check "no shim is left" '0 ' wait_for no_shim
  kill "$daemon" && wait "$daemon" 2>/dev/null
}

for name in database wordpress; do
  layout=${name^^}
  "$IMAGES" --root "$work/store" copy --quiet "${!layout}" "docker-archive:$work/$name.tar:local.test/$name:latest" ||
    { echo "$name: cannot be made an archive" && exit 1; }
done
with_both_shims all_checks
