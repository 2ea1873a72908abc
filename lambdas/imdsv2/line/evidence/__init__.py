"""What is known of IMDSv1 on an instance and in its cohort, gathered for the verdict."""
