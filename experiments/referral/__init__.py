"""Referral in diagnosis: who is answered by the network, and who is sent to somebody else."""
