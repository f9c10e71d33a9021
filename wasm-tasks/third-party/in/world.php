<?php
echo mt_rand(), ' ', bin2hex(random_bytes(8)), ' ', microtime(true), ' ', date('c'), ' ', uniqid(), "\n";
