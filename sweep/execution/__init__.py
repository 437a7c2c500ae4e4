"""From a request to stored results and a report: options, plan, workers, driver."""
