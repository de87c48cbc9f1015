"""The paper's zero-shot experiments (§7): one file each, with its command and its figures."""
