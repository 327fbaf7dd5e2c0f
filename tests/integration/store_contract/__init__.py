"""What every engine of the store must do. Tests about the files of SQLite are in `store`."""
