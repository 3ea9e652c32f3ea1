"""Latency of one image through a compiled network, called from Python, against PyTorch eager in inference mode.

python bench/compare_predict.py --network lenet5 --threads 1,2
"""

import argparse

import numpy as np
import torch

import convcore as cc
from networks import NETWORKS
from timing import HEADER, alternate, machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="lenet5")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, separated by commas")
    parser.add_argument("--rounds", type=int, default=25)
    args = parser.parse_args()

    network = NETWORKS[args.network]
    torch.manual_seed(0)
    peer = network.build(torch.nn).eval()
    model = network.build(cc.nn)
    model.load_state_dict({key: value.numpy() for key, value in peer.state_dict().items()})
    shape = (1, *network.input_shape)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    tx = torch.from_numpy(x)

    print(f"{args.network}, one image, {machine()}, PyTorch {torch.__version__}")
    print(f"{'threads':>7} | convcore {HEADER} | PyTorch {HEADER} | ratio (more is better)")
    for threads in map(int, args.threads.split(",")):
        torch.set_num_threads(threads)
        cc.set_num_threads(threads)
        program = cc.compile(model, shape)
        with torch.inference_mode():
            if not np.allclose(program(x), peer(tx).numpy(), rtol=1e-4, atol=1e-5):
                raise SystemExit("the two networks disagree")
            own, other = alternate([lambda program=program: program(x), lambda: peer(tx)], args.rounds)
        print(f"{threads:>7} |          {own} |         {other} | {other.median / own.median:5.2f}", flush=True)


if __name__ == "__main__":
    main()
