"""The DynamoDB table: each instance's record and history, and the items of accounts and cohorts."""
