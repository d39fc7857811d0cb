// nestjs-prometheus and throttler are CommonJS and require these ESM packages, which Jest can do only once they are evaluated.
import '@nestjs/common';
import '@nestjs/core';
