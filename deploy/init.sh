#!/bin/sh
# Makes the secrets of a node, each in a file of its own, and a certificate for its services; nothing that is there
# already is changed. Needs openssl.
#
#   deploy/init.sh [--dir deploy/compose/secrets] [--database HOST:PORT] [--name HOST]...
#
# The folder is for its owner alone (700). The files in it are 644, because a container reads them as another user, and
# nobody but containers that are given a file gets past the folder.
set -eu
cd "$(dirname "$0")"
dir=compose/secrets
database=nodea-postgres:5432
names='localhost nodea-agent-orchestrator nodea-worker nodea-model-policy nodea-federation nodea-gateway'
while [ $# -gt 0 ]; do
  case "$1" in
    --dir) dir=$2; shift 2 ;;
    --database) database=$2; shift 2 ;;
    --name) names="$names $2"; shift 2 ;;
    *) echo "usage: $0 [--dir FOLDER] [--database HOST:PORT] [--name HOST]..." >&2; exit 2 ;;
  esac
done
command -v openssl >/dev/null || { echo 'openssl is not installed' >&2; exit 4; }
umask 077
mkdir -p "$dir"
chmod 700 "$dir"
cd "$dir"

new() { [ ! -s "$1" ]; }

# Hexadecimal, so that it needs no escaping in an address.
new postgres-password && openssl rand -hex 24 >postgres-password
new database-password && openssl rand -hex 24 >database-password
new database-url && printf 'postgres://agentos:%s@%s/agentos\n' "$(cat database-password)" "$database" >database-url
new signing-key && openssl rand -base64 48 | tr -d '\n' >signing-key
new audit-key.pem && openssl genpkey -algorithm ed25519 -out audit-key.pem 2>/dev/null

if new ca.key || new ca.crt; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -keyout ca.key -out ca.crt \
    -subj '/CN=AgentOS node authority' -addext 'basicConstraints=critical,CA:TRUE,pathlen:0' -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null
  rm -f tls.crt
fi
if new tls.crt || new tls.key; then
  san='IP:127.0.0.1,IP:::1'
  for name in $names; do san="$san,DNS:$name"; done
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=%s\n' "$san" >tls.ext
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out tls.csr -subj '/CN=AgentOS node' 2>/dev/null
  openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 397 -extfile tls.ext -out tls.crt 2>/dev/null
  rm -f tls.ext tls.csr ca.srl
fi

for name in $names; do
  openssl x509 -in tls.crt -noout -checkhost "$name" | grep -q 'does match' || echo "tls.crt was there already and does not name $name: remove it and run this again, or issue one that does." >&2
done

# The authority's key is used here alone: no container is given it.
chmod 644 postgres-password database-password database-url signing-key audit-key.pem ca.crt tls.crt tls.key
chmod 600 ca.key
echo "The secrets of the node are in $(pwd)."
