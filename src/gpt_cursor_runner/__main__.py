from gpt_cursor_runner.cli import main

main(prog_name="gcr")
