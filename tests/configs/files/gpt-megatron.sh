#!/bin/bash
# A GPT of 345 million parameters
export CUDA_DEVICE_MAX_CONNECTIONS=1
GPT_MODEL_ARGS=(
    --num-layers 24
    --hidden-size 1024
    --seq-length 1024
)
TRAINING_ARGS=(
    --micro-batch-size 4
    --global-batch-size 64
    --train-iters 500000
    --weight-decay 0.1
    --adam-beta1 0.9
    --adam-beta2 0.95
    --init-method-std 0.006
    --clip-grad 1.0
    --fp16
    --lr 6.0e-5  # the highest
    --lr-decay-style cosine
    --min-lr 6.0e-6
    --lr-warmup-fraction .001
    --lr-decay-iters 430000
)
torchrun pretrain_gpt.py ${GPT_MODEL_ARGS[@]} ${TRAINING_ARGS[@]}
