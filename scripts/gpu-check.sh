#!/usr/bin/env bash
# What to run where there is a GPU: do its votes agree with those of the processor on the same noise, does every operator
# run there, and how many samples a second does it make, by precision and noise mode.
#
#   scripts/gpu-check.sh [OPTION...] MODEL.onnx...
#
#   --provider P   cuda (default), cuda:N, tensorrt or tensorrt:N; cpu tries the script itself
#   --data PATH    the data set (data/mnist)
#   --sigma S      standard deviation of the noise (0.25)
#   --inputs N     inputs a run (20)
#   --n N          samples an input where the speed is measured (100000)
#   --compare N    samples an input where votes are compared with those of the processor (2000)
#   --out FOLDER   where evidence goes (a new folder)
#
# It needs the release program (cargo build --release -p mithridate-runtime), the libraries of CUDA and cuDNN where the
# loader finds them, and for ONNX Runtime with CUDA `python3 scripts/setup.py onnxruntime-cuda` or ORT_DYLIB_PATH.
# A model of half precision gives the rate of float16; tensorrt has that precision for any model.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
provider=cuda data=$root/data/mnist sigma=0.25 inputs=20 n=100000 compare=2000 out=
models=()
while [ $# -gt 0 ]; do
    case $1 in
        --provider | --data | --sigma | --inputs | --n | --compare | --out)
            [ $# -gt 1 ] || { echo "gpu-check: $1 needs a value" >&2; exit 2; }
            declare "${1#--}=$2"
            shift 2
            ;;
        -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
        -*) echo "gpu-check: there is no option $1; see --help" >&2; exit 2 ;;
        *) models+=("$1"); shift ;;
    esac
done
[ ${#models[@]} -gt 0 ] || { echo "gpu-check: name at least one model; see --help" >&2; exit 2; }
rscert=${RSCERT:-$root/target/release/rscert}
[ -x "$rscert" ] || { echo "gpu-check: $rscert is not there; cargo build --release -p mithridate-runtime" >&2; exit 1; }
if [ -z "${ORT_DYLIB_PATH:-}" ] && [ "$provider" != cpu ]; then
    export ORT_DYLIB_PATH=$root/third_party/onnxruntime-cuda/lib/libonnxruntime.so
fi
[ -n "$out" ] || out=$(mktemp -d)
mkdir -p "$out"

case $provider in
    cpu) precisions=(model) ;;
    tensorrt*) precisions=(tf32 float16) ;;
    *) precisions=(model tf32) ;;
esac

# The value of a key of pretty-printed JSON; the sum, if it is there more than once.
sum() { awk -F': *' -v key="\"$2\"" '$1 ~ key"$" { gsub(/[,"]/, "", $2); total += $2 } END { print total + 0 }' "$1"; }
text() { awk -F': *' -v key="\"$2\"" '$1 ~ key"$" { gsub(/[,"]/, "", $2); print $2; exit }' "$1"; }

certify() { # NAME MODEL N FLAG...
    local name=$1 model=$2 samples=$3
    shift 3
    "$rscert" certify --model "$model" --data "$data" --sigma "$sigma" --max "$inputs" --seed 1 --n "$samples" \
        --out "$out/$name.jsonl" --json "$@" >"$out/$name.json" 2>"$out/$name.log" || {
        echo "gpu-check: rscert failed for $name:" >&2
        cat "$out/$name.log" >&2
        exit 1
    }
}

command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
"$rscert" --version
echo "provider $provider, sigma $sigma, $inputs inputs; evidence in $out"

printf '\nVotes on the same noise, %s and cpu (%s samples an input)\n' "$provider" "$compare"
printf '%-28s %-9s %-12s %10s %10s %10s  %s\n' model precision noise samples differing share 'counted by'
for model in "${models[@]}"; do
    for precision in "${precisions[@]}"; do
        for mode in independent shared; do
            name=compare-$(basename "$model" .onnx)-$precision-$mode
            certify "$name" "$model" "$compare" --provider "$provider" --precision "$precision" --noise-mode "$mode"
            # Differing votes are what this asks for: no failure, unless nothing was replayed.
            "$rscert" verify "$out/$name.jsonl" --model "$model" --data "$data" --replay all --provider cpu --json \
                >"$out/$name.verify.json" 2>/dev/null || [ $? -eq 3 ]
            samples=$(sum "$out/$name.verify.json" samples) differing=$(sum "$out/$name.verify.json" differing)
            [ "$samples" -gt 0 ] || { echo "gpu-check: $name was not replayed; see $out/$name.verify.json" >&2; exit 1; }
            counted=device
            if [ "$provider" = cpu ] || grep -q 'votes are counted outside the engine' "$out/$name.log"; then counted=host; fi
            printf '%-28s %-9s %-12s %10s %10s %10s  %s\n' "$(basename "$model")" "$precision" "$mode" "$samples" \
                "$differing" "$(awk -v d="$differing" -v s="$samples" 'BEGIN { printf "%.2e", d / s }')" "$counted"
        done
    done
done

# Times of the parts are summed over threads; noise is made beside the model where that has threads of its own.
printf '\nSpeed (%s samples an input; a million samples a second, and seconds of each part)\n' "$n"
printf '%-28s %-9s %-12s %9s %8s %8s %8s %8s  %s\n' model precision noise Msamples/s wall noise forward count plan
for model in "${models[@]}"; do
    for precision in "${precisions[@]}"; do
        for mode in independent shared; do
            name=speed-$(basename "$model" .onnx)-$precision-$mode
            certify "$name" "$model" "$n" --provider "$provider" --precision "$precision" --noise-mode "$mode"
            json=$out/$name.json
            sed -n '/"timings"/,/}/p' "$json" >"$out/$name.timings"
            timings=$out/$name.timings
            printf '%-28s %-9s %-12s %9s %8.2f %8.2f %8.2f %8.2f  %s\n' "$(basename "$model")" "$precision" "$mode" \
                "$(awk -v s="$(sum "$timings" samples)" -v w="$(sum "$timings" wall)" 'BEGIN { printf "%.3f", s / w / 1e6 }')" \
                "$(sum "$timings" wall)" "$(sum "$timings" noise)" "$(sum "$timings" forward)" "$(sum "$timings" count)" \
                "$(text "$json" sessions) x batch $(text "$json" batch), $(text "$json" noise_threads) noise threads"
        done
    done
done

printf '\nThe engine alone (rscert bench)\n'
for model in "${models[@]}"; do
    for precision in "${precisions[@]}"; do
        echo "precision $precision"
        "$rscert" bench --model "$model" --provider "$provider" --precision "$precision"
    done
done
