"""Every instance of the organisation that allows IMDSv1, account by account."""
