#!/bin/sh
# Certifies a data set as a Slurm job array, then merges and verifies the parts.
#
#   submit.sh SHARDS FOLDER MODEL DATA --seed SEED [more flags of rscert certify]
#
# Flags for sbatch, such as a partition or a time limit, go into SBATCH_FLAGS. RSCERT names the program where it is
# not on the path of the compute nodes.
set -eu

if [ $# -lt 4 ]; then
    echo "usage: submit.sh SHARDS FOLDER MODEL DATA --seed SEED [flags of rscert certify]" >&2
    exit 2
fi
scripts=$(cd "$(dirname "$0")" && pwd)
shards=$1 folder=$2 model=$3 data=$4

case $shards in
    '' | *[!0-9]* | 0*)
        echo "submit.sh: SHARDS is '$shards'; give the number of parts, such as 8" >&2
        exit 2
        ;;
esac
case " $* " in
    *" --seed "* | *" --seed="*) ;;
    *)
        echo "submit.sh: the parts of one run need the same noise; give a --seed" >&2
        exit 2
        ;;
esac
for file in "$model" "$data"; do
    if [ ! -e "$file" ]; then
        echo "submit.sh: there is no $file" >&2
        exit 1
    fi
done
if [ -e "$folder/run.jsonl" ]; then
    echo "submit.sh: $folder/run.jsonl is a finished run; give another folder" >&2
    exit 1
fi
mkdir -p "$folder"

# SBATCH_FLAGS is a list of words.
# shellcheck disable=SC2086
array=$(sbatch --parsable ${SBATCH_FLAGS:-} --array="1-$shards" --output="$folder/certify-%a.log" \
    "$scripts/certify.sbatch" "$@")
array=${array%%;*}
# shellcheck disable=SC2086
merge=$(sbatch --parsable ${SBATCH_FLAGS:-} --dependency="afterok:$array" --kill-on-invalid-dep=yes \
    --output="$folder/merge.log" "$scripts/merge.sbatch" "$shards" "$folder" "$model" "$data")
echo "job $array certifies $shards parts, job ${merge%%;*} merges them into $folder/run.jsonl"
