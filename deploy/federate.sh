#!/bin/sh
# Makes what a node in containers needs to meet other nodes, in the folder federation/ of its secrets: an authority, a
# certificate that names the stack, and peers.json. Repeated, it renews a certificate that has less than thirty days left,
# takes what was added to the folder, and changes nothing else; the running Federation follows its files. Needs openssl.
#
#   deploy/federate.sh --stack STACK_ID --url https://HOST:50084 [--dir compose/secrets] [--region REGION]
#       [--orchestrator URL] [--models URL]       where callers reach this node, if not at ports 50081 and 50082 of HOST
#   deploy/federate.sh --dir SECRETS --meet OTHER_SECRETS --tenants tnt_a,tnt_b     the other node of this machine
# Folders are named from deploy/ on, as for init.sh.
#
# peers.json is put together from local.json and every peer-*.json, trusted.pem from authority.crt and every authority-*.crt.
# So a peer of another machine is two files and this script once more: `authority` of its card (agentos federation card) as
# authority-<name>.crt, and `peer` of its card, with a member "trust": {"tenants": ["tnt_a"], "authority": "<fingerprint>"},
# as peer-<name>.json.
set -eu
cd "$(dirname "$0")"
dir=compose/secrets stack='' url='' region='' orchestrator='' models='' meet='' tenants=''
usage() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$(basename "$0")" >&2; exit 2; }
while [ $# -gt 1 ]; do
  case "$1" in
    --dir) dir=$2 ;;
    --stack) stack=$2 ;;
    --url) url=${2%/} ;;
    --region) region=$2 ;;
    --orchestrator) orchestrator=${2%/} ;;
    --models) models=${2%/} ;;
    --meet) meet=$2 ;;
    --tenants) tenants=$2 ;;
    *) usage ;;
  esac
  shift 2
done
[ $# -eq 0 ] || usage
command -v openssl >/dev/null || { echo 'openssl is not installed' >&2; exit 4; }
umask 077
mkdir -p "$dir/federation"
chmod 700 "$dir" "$dir/federation"
case "$meet" in '' | /*) ;; *) meet=$(pwd)/$meet ;; esac
cd "$dir/federation"

new() { [ ! -s "$1" ]; }
# What goes into JSON and certificates as it is: nothing in it needs escaping there.
plain() { printf %s "$2" | LC_ALL=C grep -Eq '^[A-Za-z0-9][A-Za-z0-9._:@/[*-]*[]A-Za-z0-9._:@/*-]*$' || { echo "$1 cannot be \"$2\"" >&2; exit 2; }; }
member() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$2" | head -n 1; }
fingerprint() { openssl x509 -in "$1" -noout -fingerprint -sha256 | sed 's/.*=//'; }

if [ -n "$stack$url" ]; then
  plain --stack "$stack"; plain --url "$url"
  case "$url" in https://*) ;; *) echo '--url is the https address of the listener for other nodes: https://agents.acme.example:50084' >&2; exit 2 ;; esac
  name=$(printf %s "$url" | sed -E 's#^https://(\[[^]]*\]|[^:/]*).*#\1#')
  for each in "$orchestrator" "$models" "$region"; do [ -z "$each" ] || plain 'an address or a region' "$each"; done
  if ! new local.json && [ "$(member stack_id local.json)" != "$stack" ]; then rm -f node.crt; fi
  printf '{"stack_id": "%s",%s "api_versions": ["v1"], "endpoints": {"agent-orchestrator_base_url": "%s", "model-policy_base_url": "%s", "federation_base_url": "%s"}}\n' \
    "$stack" "${region:+ \"region\": \"$region\",}" "${orchestrator:-https://$name:50081}" "${models:-https://$name:50082}" "$url" >local.json
fi
if new local.json; then usage; fi
stack=$(member stack_id local.json)
host=$(member federation_base_url local.json | sed -E 's#^https://(\[[^]]*\]|[^:/]*).*#\1#; s/[][]//g')

if new authority.key || new authority.crt; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -keyout authority.key -out authority.crt \
    -subj "/CN=AgentOS authority of $stack" -addext 'basicConstraints=critical,CA:TRUE,pathlen:0' -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null
  rm -f node.crt
fi
named() { openssl x509 -in node.crt -noout "$1" "$host" | grep -q 'does match'; }
if new node.crt || new node.key || ! openssl x509 -in node.crt -noout -checkend 2592000 >/dev/null || ! { named -checkhost || named -checkip; } 2>/dev/null; then
  case "$host" in *[!0-9.]*) kind=DNS; case "$host" in *:*) kind=IP ;; esac ;; *) kind=IP ;; esac
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=URI:urn:agentos:stack:%s,%s:%s\n' "$stack" "$kind" "$host" >node.ext
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout node.key.new -out node.csr -subj "/CN=AgentOS node" 2>/dev/null
  openssl x509 -req -in node.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 397 -extfile node.ext -out node.crt.new 2>/dev/null
  # Into the same file: a container has that one mounted, and not its name.
  cat node.key.new >node.key
  cat node.crt.new >node.crt
  rm -f node.key.new node.crt.new node.ext node.csr authority.srl
fi

if [ -n "$meet" ]; then
  other="$meet/federation"
  [ -s "$other/local.json" ] && [ -s "$other/authority.crt" ] || { echo "$other holds no node: run this script with --dir $meet --stack … first" >&2; exit 2; }
  [ -n "$tenants" ] || { echo "--tenants says for whom the other node may speak here, e.g. --tenants tnt_acme, or '*' for every tenant" >&2; exit 2; }
  [ "$tenants" = '*' ] || plain --tenants "$(printf %s "$tenants" | tr -d ,)"
  theirs=$(member stack_id "$other/local.json")
  cat "$other/authority.crt" >"authority-$theirs.crt"
  list=$(printf %s "$tenants" | sed 's/,/", "/g')
  sed "s|}[[:space:]]*\$|, \"trust\": {\"tenants\": [\"$list\"], \"authority\": \"$(fingerprint "$other/authority.crt")\"}}|" "$other/local.json" >"peer-$theirs.json"
fi

cat authority.crt >trusted.pem
for each in authority-*.crt; do if [ -s "$each" ]; then cat "$each" >>trusted.pem; fi; done
{
  printf '{"local": %s, "peers": [' "$(cat local.json)"
  comma=''
  for each in peer-*.json; do if [ -s "$each" ]; then printf '%s\n  %s' "$comma" "$(cat "$each")"; comma=,; fi; done
  printf ']}\n'
} >peers.json.new
cat peers.json.new >peers.json
rm -f peers.json.new

# As init.sh has it: containers read files as another user, and the folder is for its owner alone.
chmod 644 ./*.crt ./*.pem ./*.json node.key
chmod 600 authority.key
echo "$stack, $(fingerprint authority.crt), in $(pwd)"
