"""The whole worker on a real store, with a fake provider, the emulator or faked HTTP.

Start with `test_worker`; `worker_harness` has what the tests share. How it meets faults of the
provider is tested in `worker_faults`.
"""
