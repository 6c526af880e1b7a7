fairseq-train data-bin --arch lstm --optimizer nag --lr 0.25 --clip-norm 0.1 \
    --lr-scheduler reduce_lr_on_plateau --lr-shrink 0.1 --max-epoch 50
