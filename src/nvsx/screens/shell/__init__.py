"""The operator shell: the commands of `nvsx`, typed at a prompt, in one process."""
