#!/bin/sh
# Makes the secrets of two nodes on one machine that know each other, for compose.two-nodes.yaml; nothing that is there
# already is changed. Either node may speak for the demo tenant on the other one.
#
#   deploy/two-nodes.sh [--dir deploy/compose/secrets]
set -eu
dir=$(cd "$(dirname "$0")" && pwd)/compose/secrets
if [ $# -eq 2 ] && [ "$1" = --dir ]; then
  mkdir -p "$2"
  dir=$(cd "$2" && pwd)
elif [ $# -ne 0 ]; then
  echo "usage: $0 [--dir FOLDER]" >&2
  exit 2
fi
cd "$(dirname "$0")"
./init.sh --dir "$dir"
./init.sh --dir "$dir/nodeb" --database nodeb-postgres:5432 --name nodeb-agent-orchestrator --name nodeb-model-policy --name nodeb-federation
for node in a b; do
  [ $node = a ] && secrets=$dir region=local || { secrets=$dir/nodeb; region=local-b; }
  ./federate.sh --dir "$secrets" --stack stk_local_node_$node --region $region --url https://node$node-federation:50084 \
    --orchestrator http://node$node-agent-orchestrator:50081 --models http://node$node-model-policy:50082
done
./federate.sh --dir "$dir" --meet "$dir/nodeb" --tenants tnt_demo
./federate.sh --dir "$dir/nodeb" --meet "$dir" --tenants tnt_demo
