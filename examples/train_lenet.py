"""Trains LeNet-5 on 5,000 handwritten digits, about as `convcore train examples/data/mnist5k` does.

python examples/train_lenet.py [folder with MNIST's t10k-* files, to test on]
"""

import sys
from pathlib import Path

import convcore as cc
from convcore import nn, optim
from convcore.data import DataLoader, open_dataset

EPOCHS = 12

cc.manual_seed(0)
train, held_out = open_dataset(Path(__file__).parent / "data" / "mnist5k").split(0.1)
batches = DataLoader(train, batch_size=64, shuffle=True)

model = cc.models.lenet5()
optimizer = optim.Adam(lr=5e-3)
scheduler = optim.OneCycleLR(optimizer, max_lr=5e-3, total_steps=EPOCHS * len(batches))
trainer = cc.Trainer(model, nn.CrossEntropyLoss(label_smoothing=0.1), optimizer, scheduler)
trainer.fit(batches, EPOCHS, validation=DataLoader(held_out, batch_size=256), verbose=True)

if len(sys.argv) > 1:
    test = DataLoader(open_dataset(sys.argv[1], split="test"), batch_size=256)
    print(f"accuracy on the test set: {trainer.evaluate(test)['accuracy']:.2%}")
model.save("lenet5.safetensors")
