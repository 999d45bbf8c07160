"""A pre-trained transformer, fine-tuned on few labelled sentences at several rates of dropout."""
