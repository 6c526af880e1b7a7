torchrun pretrain_gpt.py --train-samples 2000000 --global-batch-size 1000 --rampup-batch-size 200 200 100000 \
    --lr 3e-4 --min-lr 0 --lr-decay-style WSD --lr-wsd-decay-style minus_sqrt --lr-wsd-decay-samples 400000 \
    --lr-warmup-samples 20000 --start-weight-decay 0.033 --end-weight-decay 0.1 --weight-decay-incr-style linear \
    --decoupled-lr 1e-3
