# Runs as root in namespaces of its own (mounts, processes, network): mounts what the container is given over a root that
# nobody can write, and becomes the program. Arguments: the root, the folder to begin in, then the program with its
# arguments. What to mount stands in $MOUNTS, a line each: kind, target, source or options.
set -eu
R=$1
W=$2
shift 2
mount --bind "$R" "$R"
mount -t proc -o nosuid,nodev,noexec proc "$R/proc"
mount -t tmpfs -o nosuid,noexec,size=64k,mode=755 tmpfs "$R/dev"
for node in null zero full random urandom; do
  : >"$R/dev/$node"
  mount --bind "/dev/$node" "$R/dev/$node"
done
mount -o remount,ro "$R/dev"
printf '%s\n' "$MOUNTS" | while IFS="$(printf '\t')" read -r kind target from; do
  case "$kind" in
    tmpfs) mount -t tmpfs -o "$from" tmpfs "$R$target" ;;
    volume) mount --bind "$from" "$R$target"; mount -o remount,bind,nosuid,nodev "$R$target" ;;
    file) mount --bind "$from" "$R$target"; mount -o remount,bind,ro,nosuid,nodev "$R$target" ;;
    readonly) mount -o remount,bind,ro,nosuid,nodev "$R" ;;
  esac
done
enter=$(command -v unshare)
unset MOUNTS
export PATH=/usr/local/bin:/usr/bin:/bin
exec "$enter" --root="$R" --wd="$W" /.setpriv "$@"
