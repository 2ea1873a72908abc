"""The DynamoDB table: the record of each instance and its history, the items of accounts and cohorts."""
