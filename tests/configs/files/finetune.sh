#!/bin/bash
#SBATCH --job-name=qlora
LR=2e-4
EPOCHS=${EPOCHS:-2}
torchrun --nproc_per_node 8 finetune.py \
    --model_name_or_path example/base-7b \
    --output_dir out \
    --num_train_epochs $EPOCHS \
    --per_device_train_batch_size 4 \
    --learning_rate ${LR} \
    --weight_decay 0. \
    --warmup_ratio 0.03 \
    --lr_scheduler_type "constant_with_warmup" \
    --optim adamw_torch \
    --bf16 True
